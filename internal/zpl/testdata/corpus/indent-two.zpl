a
  b = 1
