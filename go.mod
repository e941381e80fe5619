module distproof

go 1.26.0
