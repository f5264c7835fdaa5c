# x
a = 1
