a # x
b# x
c#x = 1
