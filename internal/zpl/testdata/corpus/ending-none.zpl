a
    b = 1