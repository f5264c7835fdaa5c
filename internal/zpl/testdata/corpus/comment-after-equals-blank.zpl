a = # y
b = 2
