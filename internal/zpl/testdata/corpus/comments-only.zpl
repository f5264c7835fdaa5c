# x
#y
#
