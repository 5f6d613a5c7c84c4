# advertise.pl LINK PREFIX LENGTH: a router advertisement to all nodes of LINK (RFC 4861), with a default router and a
# prefix that is on the link and gives addresses (flags L and A).
use Socket qw(inet_pton AF_INET6);
my ($link, $prefix, $length) = @ARGV;
open my $file, '<', "/proc/net/if_inet6" or exit 3;
my ($index) = map { (split)[1] } grep /^fe80.* $link$/, <$file>;
socket my $socket, AF_INET6, 3, 58 or exit 4;
setsockopt $socket, 41, 18, pack 'i', 255 or exit 5; # IPV6_MULTICAST_HOPS
my $option = pack 'CCCCNNNa16', 3, 4, $length, 0xc0, 86400, 14400, 0, inet_pton(AF_INET6, $prefix);
my $message = pack('CCnCCnNN', 134, 0, 0, 64, 0, 1800, 0, 0) . $option;
send $socket, $message, 0, pack 'SnNa16L', AF_INET6, 0, 0, inet_pton(AF_INET6, 'ff02::1'), hex $index or exit 6;
