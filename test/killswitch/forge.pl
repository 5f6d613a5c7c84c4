# forge.pl LINK OWN ADDRESS: sends itself a packet that ADDRESS seems to have sent to OWN, an address of this
# machine's, and answers it by a UDP socket whose packets have the mark with which replies leave by LINK (SO_MARK).
my ($link, $own, $address) = map { /^[0-9.]+$/ ? join '', map chr, split /\./ : $_ } @ARGV;
open my $file, '<', "/sys/class/net/$link/ifindex" or exit 3;
my $index = <$file>;
my $packet = pack 'CCnnnCCna4a4', 0x45, 0, 28, 1, 0, 64, 17, 0, $address, $own;
socket my $raw, 2, 3, 255 or exit 4;
send $raw, $packet . pack('nnnn', 9, 5555, 8, 0), 0, pack 'Sna4x8', 2, 0, $own or exit 5;
socket my $socket, 2, 2, 0 or exit 6;
bind $socket, pack 'Sna4x8', 2, 5555, $own or exit 7;
setsockopt $socket, 1, 36, pack 'L', 0x40000000 | $index or exit 8;
send $socket, 'clear', 0, pack 'Sna4x8', 2, 9, $address or exit 9;
