"""What a text is: bytes, words and normal forms, and the kernels that read them."""
