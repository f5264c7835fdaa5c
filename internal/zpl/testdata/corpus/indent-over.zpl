a
        b = 1
