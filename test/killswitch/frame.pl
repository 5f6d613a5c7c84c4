# frame.pl LINK BYPASS ADDRESS [MARK]: writes a frame with a UDP packet to ADDRESS, by a packet(7) socket;
# BYPASS 1 is PACKET_QDISC_BYPASS, MARK the frame's (SO_MARK).
my ($link, $bypass, $address, $mark) = @ARGV;
open my $file, '<', "/sys/class/net/$link/ifindex" or exit 3;
my $index = <$file>;
socket my $socket, 17, 3, 0x0008 or exit 4;
setsockopt $socket, 263, 20, pack 'i', 1 or exit 5 if $bypass;
setsockopt $socket, 1, 36, pack 'L', $mark or exit 6 if $mark;
my $packet = pack 'CCnnnCCnC4a4', 0x45, 0, 28, 1, 0, 64, 17, 0, 10, 9, 9, 9, join '', map chr, split /\./, $address;
my $sum = 0;
$sum += $_ for unpack 'n*', $packet;
$sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
substr($packet, 10, 2) = pack 'n', ~$sum & 0xffff;
my $frame = "\xff" x 6 . "\2\0\0\0\0\1" . pack('n', 0x0800) . $packet . pack 'nnnn', 1234, 9, 8, 0;
send $socket, $frame, 0, pack 'SnlSCCa8', 17, 0x0800, $index, 0, 0, 6, "\xff" x 6;
