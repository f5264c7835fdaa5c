a
     b = 1
