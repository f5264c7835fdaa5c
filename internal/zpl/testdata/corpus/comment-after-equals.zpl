a =# y
b =#
