select 'a'
'b', E'\'', U&'\0061' uescape '!', N'x', b'01', X'1f', $a$ $b$ $a$, "q""r", 1e5, 0x1F, .5, 1..2, $1, a::b, @-+