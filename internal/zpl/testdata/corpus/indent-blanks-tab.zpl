a
    	b = 1
