a
   b = 1
