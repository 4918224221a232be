/* embedded.S: the list of common passwords as read-only data, from the build's folder (-I). */
    .section .rodata
    .globl common_passwords
    .globl common_passwords_end
    .hidden common_passwords
    .hidden common_passwords_end
common_passwords:
    .incbin "passwords"
common_passwords_end:

    .section .note.GNU-stack,"",%progbits
