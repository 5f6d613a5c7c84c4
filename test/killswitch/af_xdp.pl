# af_xdp.pl LINK ADDRESS: sends a frame with a UDP packet to ADDRESS by an AF_XDP socket in copy mode (linux/if_xdp.h),
# which needs CAP_NET_RAW. Perl has no mmap: memory is mapped, written and read by system calls of x86-64.
my ($link, $address) = @ARGV;
my ($SYS_MMAP, $SYS_READ) = (9, 0);
my ($XDP_MMAP_OFFSETS, $XDP_TX_RING, $XDP_UMEM_REG, $XDP_UMEM_FILL_RING, $XDP_UMEM_COMPLETION_RING) = (1, 3, 4, 5, 6);
open my $file, '<', "/sys/class/net/$link/ifindex" or exit 3;
my $index = 0 + <$file>;
sub mapped { my ($length, $flags, $fd, $offset) = @_; my $at = syscall $SYS_MMAP, 0, $length, 3, $flags, $fd, $offset; $at == -1 and exit 4; $at }
pipe my $from, my $to or exit 5;
sub written { my ($at, $bytes) = @_; syswrite $to, $bytes; syscall($SYS_READ, fileno $from, $at, length $bytes) == length $bytes or exit 6 }

my $packet = pack 'CCnnnCCnC4a4', 0x45, 0, 28, 1, 0, 64, 17, 0, 10, 9, 9, 9, join '', map chr, split /\./, $address;
my $sum = 0;
$sum += $_ for unpack 'n*', $packet;
$sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
substr($packet, 10, 2) = pack 'n', ~$sum & 0xffff;
my $frame = "\xff" x 6 . "\2\0\0\0\0\1" . pack('n', 0x0800) . $packet . pack 'nnnn', 1234, 9, 8, 0;

socket my $socket, 44, 3, 0 or exit 7;
my $memory = mapped(16384, 0x22, -1, 0);
setsockopt $socket, 283, $XDP_UMEM_REG, pack 'QQLLLL', $memory, 16384, 4096, 0, 0, 0 or exit 8;
setsockopt $socket, 283, $_, pack 'l', 4 or exit 9 for $XDP_UMEM_FILL_RING, $XDP_UMEM_COMPLETION_RING, $XDP_TX_RING;
# Of each ring producer, consumer, descriptors, flags; the second is for sending. Perl asks for 256 bytes.
my ($producer, undef, $descriptors) = unpack 'x32QQQ', getsockopt $socket, 283, $XDP_MMAP_OFFSETS or exit 10;
my $ring = mapped($descriptors + 4 * 16, 0x8001, fileno $socket, 0x80000000);
bind $socket, pack 'SSLLL', 44, 2, $index, 0, 0 or exit 11; # XDP_COPY
written($memory, $frame);
written($ring + $descriptors, pack 'QLL', 0, length $frame, 0);
written($ring + $producer, pack 'L', 1);
defined send $socket, '', 0x40 or exit 12;
