# The demo guest: one boot sector that keeps two counters, one in memory and one on disk.
#
#   as --32 -o guest.o guest.S
#   ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o guest.bin guest.o
#
# A snapshot can bring back the disk, or the disk and the memory. To tell which, the guest
# keeps in memory a count of loop turns and writes it to the disk, and never reads it back:
# after a revert with memory the count goes on from the snapshot's value, after a cold boot it
# starts again at 1. The number of boots is read from the disk, once, when the guest starts:
# after a revert of the disk alone it is one more than it was in the snapshot.
#
# Sector 2048 (byte 1048576), little endian:
#    0  8 bytes   "SNAPVIEW"
#    8  32 bits   count of loop turns since this boot
#   12  32 bits   boots
#
# The serial line COM1 says "snapview demo guest ready" once, then "count N boots M" every
# second; the screen gets the ready line and a dot every second.

        .code16
        .intel_syntax noprefix
        .globl  _start

        .set    COM1, 0x3f8
        .set    BUFFER, 0x7e00          # the sector as it is read and written
        .set    COUNT, BUFFER + 8
        .set    BOOTS, BUFFER + 12
        .set    BIOS_TICKS, 0x046c      # 18.2 a second
        .set    TICKS_PER_TURN, 18

        .text
_start:
        ljmp    0, offset begin         # some firmware enters at 07c0:0000
begin:
        xor     ax, ax
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     sp, 0x7c00
        sti
        cld
        mov     [drive], dl             # the firmware says from which disk we come

        mov     si, offset serial_setup
        mov     cx, 6
next_register:
        lodsw                           # low byte: register, high byte: value
        mov     dx, COM1
        add     dl, al
        mov     al, ah
        out     dx, al
        loop    next_register

        mov     ah, 0x42                # read the sector
        call    disk
        mov     si, offset magic
        mov     di, BUFFER
        mov     cx, 8
        repe    cmpsb
        je      known
        mov     dword ptr [BOOTS], 0    # a disk that never booted
known:
        inc     dword ptr [BOOTS]
        mov     dword ptr [COUNT], 0
        mov     si, offset magic        # again: the sector may have held anything
        mov     di, BUFFER
        mov     cx, 8
        rep     movsb

        mov     si, offset ready
        mov     bl, 1
        call    text

turn:
        inc     dword ptr [COUNT]
        mov     ah, 0x43                # write the sector
        call    disk

        mov     bl, 0                   # serial only
        mov     si, offset text_count
        call    text
        mov     eax, [COUNT]
        call    number
        mov     si, offset text_boots
        call    text
        mov     eax, [BOOTS]
        call    number
        mov     si, offset text_end
        call    text
        mov     al, '.'
        call    screen

        mov     bx, [BIOS_TICKS]
pause:
        hlt                             # other interrupts wake us too, so look at the clock
        mov     ax, [BIOS_TICKS]
        sub     ax, bx
        cmp     ax, TICKS_PER_TURN
        jb      pause
        jmp     turn

# Read (AH = 42h) or write (AH = 43h) the sector. The firmware may change the block count.
disk:
        mov     word ptr [packet_blocks], 1
        mov     al, 0
        mov     dl, [drive]
        mov     si, offset packet
        int     0x13
        ret

# Print EAX in decimal.
number:
        mov     ecx, 10
        xor     edx, edx
        div     ecx
        push    dx
        test    eax, eax
        jz      digit
        call    number
digit:
        pop     ax
        add     al, '0'
        jmp     serial

# Print the text at SI up to a zero byte, on the screen too when BL is not 0.
text:
        lodsb
        test    al, al
        jz      done
        call    serial
        test    bl, bl
        jz      text
        call    screen
        jmp     text

# Print the character AL on COM1.
serial:
        push    ax
        mov     dx, COM1 + 5
busy:
        in      al, dx
        test    al, 0x20                # transmitter empty
        jz      busy
        pop     ax
        mov     dx, COM1
        out     dx, al
done:
        ret

# Print the character AL on the screen.
screen:
        push    bx
        mov     ah, 0x0e
        xor     bx, bx
        int     0x10
        pop     bx
        ret

serial_setup:
        .byte   1, 0x00                 # no interrupts
        .byte   3, 0x80                 # the next two set the speed
        .byte   0, 0x01                 # 115200 baud
        .byte   1, 0x00
        .byte   3, 0x03                 # 8 bits, no parity, 1 stop bit
        .byte   2, 0xc7                 # FIFO on and empty

packet:
        .byte   16, 0
packet_blocks:
        .word   1
        .word   BUFFER, 0
        .long   2048, 0
drive:
        .byte   0

magic:
        .ascii  "SNAPVIEW"
ready:
        .asciz  "snapview demo guest ready\r\n"
text_count:
        .asciz  "count "
text_boots:
        .asciz  " boots "
text_end:
        .asciz  "\r\n"

        .org    510
        .word   0xaa55
