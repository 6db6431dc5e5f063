# Float32 bits are the contract here (numpy's sums): a*b+c must stay two roundings on every ISA.
target_compile_options(${target} PRIVATE -ffp-contract=off)
