a = 1
a = 2
a
    a = 3
    a = 4
