a !
