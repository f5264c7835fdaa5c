[section]
a = 1
