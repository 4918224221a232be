/* embedded.S: the compressed assets as read-only data, from the build's folder (-I). */
    .section .rodata

    .macro asset symbol, file
    .balign 16
    .globl \symbol
    .globl \symbol\()_end
    .hidden \symbol
    .hidden \symbol\()_end
\symbol:
    .incbin "\file"
\symbol\()_end:
    .endm

    asset swagger_ui_css, "swagger_ui_css.gz"
    asset swagger_ui_js, "swagger_ui_js.gz"
    asset oauth2_redirect_js, "oauth2_redirect_js.gz"
    asset redoc_js, "redoc_js.gz"

    .section .note.GNU-stack,"",%progbits
