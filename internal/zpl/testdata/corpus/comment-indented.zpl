a
    # x
    b = 1
        # deeper
