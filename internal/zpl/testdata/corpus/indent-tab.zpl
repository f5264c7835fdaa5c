a
	b = 1
