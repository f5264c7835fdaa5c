a = x "
