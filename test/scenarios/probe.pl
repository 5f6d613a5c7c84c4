# probe.pl: tries to get out of this container in every way it knows, again and again. The number of the
# phase is in /probe/phase; what goes to 198.18.PHASE.ATTEMPT or 2001:db8:PHASE::ATTEMPT is an attempt's (multicast:
# 239.18.PHASE.ATTEMPT, ff0e:18:PHASE::ATTEMPT). Perl
# without modules, so that an image needs no more than one program and its libraries.
my $ICMP = 1; my $UDP = 17; my $ICMPV6 = 58; my $RAW = 255;
my ($phase, $passes) = (0, 0);
for (;;) {
    if (open my $file, '<', '/probe/phase') { $phase = <$file> + 0 }
    pass();
    if (open my $file, '>', "/probe/done-$phase") { print $file ++$passes }
    select undef, undef, undef, 0.2;
}

sub pass {
    # What needs to know nothing comes first, for the sake of the first instruction.
    udp(1); tcp(2); icmp(3); raw(4);
    udp6(5); tcp6(6); icmp6(7); raw6(24);
    dns(20);
    for my $link (links()) {
        udp(8, $link); tcp(9, $link); icmp(10, $link); raw(11, $link);
        udp6(12, $link); tcp6(13, $link); icmp6(14, $link); raw6(25, $link);
        frame(15, $link, 0); frame(16, $link, 1); frame(22, $link, 1, 1);
        frame6(17, $link, 0); frame6(26, $link, 1); frame6(27, $link, 1, 1);
        multicast(18, $link); multicast6(28, $link);
        for my $address (addresses()) { forged(23, $link, $address) }
        for my $address (addresses6()) { forged6(29, $link, $address) }
    }
    for my $address (addresses()) { udp(19, undef, $address) }
    for my $address (addresses6()) { udp6(21, undef, $address) }
}

sub links {
    opendir my $folder, '/sys/class/net' or return;
    return grep { !/^\.|^lo$/ } readdir $folder;
}

# Of /proc/net/fib_trie: a local address is the line before its `/32 host LOCAL`.
sub addresses {
    open my $file, '<', '/proc/net/fib_trie' or return;
    my ($last, %found) = '';
    while (<$file>) {
        $found{$last} = 1 if m{/32 host LOCAL} && $last !~ /^127/;
        $last = $1 if /([0-9.]+)\s*$/;
    }
    return map { pack 'C4', split /\./ } keys %found;
}

sub addresses6 {
    open my $file, '<', '/proc/net/if_inet6' or return;
    return map { pack 'H32', (split)[0] } grep { !/ lo$/ && !/^fe80/ } <$file>;
}

sub v4 { pack 'C4', 198, 18, $phase, $_[0] }
sub v6 { pack 'n8', 0x2001, 0xdb8, $phase, 0, 0, 0, 0, $_[0] }
sub to4 { pack 'Sna4x8', 2, $_[1] // 9, v4($_[0]) }
sub to6 { pack 'SnNa16L', 10, $_[1] // 9, 0, v6($_[0]), 0 }

sub opened {
    my ($family, $type, $protocol, $link, $address) = @_;
    socket my $socket, $family, $type, $protocol or return;
    fcntl $socket, 4, 2048;
    if (defined $link) { setsockopt $socket, 1, 25, "$link\0" or return }
    if (defined $address) {
        bind $socket, $family == 2 ? pack 'Sna4x8', 2, 0, $address : pack 'SnNa16L', 10, 0, 0, $address, 0 or return;
    }
    return $socket;
}

sub udp { my $socket = opened(2, 2, 0, $_[1], $_[2]) or return; send $socket, 'clear', 0, to4($_[0]) }
sub udp6 { my $socket = opened(10, 2, 0, $_[1], $_[2]) or return; send $socket, 'clear', 0, to6($_[0]) }
my @connecting;
sub tcp { my $socket = opened(2, 1, 0, $_[1]) or return; connect $socket, to4($_[0], 80); kept($socket) }
sub tcp6 { my $socket = opened(10, 1, 0, $_[1]) or return; connect $socket, to6($_[0], 80); kept($socket) }
sub kept { push @connecting, $_[0]; shift @connecting if @connecting > 40 }

sub icmp {
    my $socket = opened(2, 3, $ICMP, $_[1]) or return;
    send $socket, pack('CCnnn', 8, 0, 0xf7fd, 1, 1), 0, to4($_[0], 0);
}

sub icmp6 { my $socket = opened(10, 3, $ICMPV6, $_[1]) or return; send $socket, pack('CCnnn', 128, 0, 0, 1, 1), 0, to6($_[0], 0) }

sub raw { my $socket = opened(2, 3, $RAW, $_[1]) or return; send $socket, packet(v4($_[0])), 0, to4($_[0], 0) }

# A raw socket of protocol RAW takes packets with their header, over IPv6 as well.
sub raw6 { my $socket = opened(10, 3, $RAW, $_[1]) or return; send $socket, packet6(v6($_[0])), 0, to6($_[0], 0) }

# The driver marks replies with this and the number of the link.
my $MARK; BEGIN { $MARK = 0x40000000 }
sub marked { setsockopt $_[0], 1, 36, pack 'L', $_[1] }
sub index_of { open my $file, '<', "/sys/class/net/$_[0]/ifindex" or return; return 0 + <$file> }

# A packet to this container, as from outside; and its reply.
sub forged {
    my ($number, $link, $own) = @_;
    my $index = index_of($link) or return;
    my $raw = opened(2, 3, $RAW) or return;
    send $raw, packet($own, v4($number), 5555), 0, pack 'Sna4x8', 2, 0, $own or return;
    my $socket = opened(2, 2, 0) or return;
    bind $socket, pack 'Sna4x8', 2, 5555, $own or return;
    marked($socket, $MARK | $index) or return;
    send $socket, 'clear', 0, to4($number);
}

sub forged6 {
    my ($number, $link, $own) = @_;
    my $index = index_of($link) or return;
    my $raw = opened(10, 3, $RAW) or return;
    send $raw, packet6($own, v6($number), 5555), 0, pack 'SnNa16L', 10, 0, 0, $own, 0 or return;
    my $socket = opened(10, 2, 0) or return;
    bind $socket, pack 'SnNa16L', 10, 5555, 0, $own, 0 or return;
    marked($socket, $MARK | $index) or return;
    send $socket, 'clear', 0, to6($number);
}

sub multicast {
    my $socket = opened(2, 2, 0, $_[1]) or return;
    send $socket, 'clear', 0, pack 'Sna4x8', 2, 9, pack 'C4', 239, 18, $phase, $_[0];
}

sub multicast6 {
    my $socket = opened(10, 2, 0, $_[1]) or return;
    send $socket, 'clear', 0, pack 'SnNa16L', 10, 9, 0, pack('n8', 0xff0e, 0x18, $phase, 0, 0, 0, 0, $_[0]), 0;
}

sub dns {
    my $name = pack 'C/a C/a x', "k$_[0]-p$phase", 'example';
    my $socket = opened(2, 2, 0) or return;
    send $socket, pack('n6', 1, 0x0100, 1, 0, 0, 0) . $name . pack('nn', 1, 1), 0, pack 'Sna4x8', 2, 53, pack 'C4', 127, 0, 0, 11;
}

# From port 9, as all that is sent to goes to it.
sub packet {
    my ($to, $from, $port) = @_;
    my $packet = pack 'CCnnnCCna4a4', 0x45, 0, 28, 1, 0, 64, $UDP, 0, $from // pack('C4', 10, 9, 9, 9), $to;
    my $sum = 0;
    $sum += $_ for unpack 'n*', $packet;
    $sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
    substr($packet, 10, 2) = pack 'n', ~$sum & 0xffff;
    return $packet . pack 'nnnn', 9, $port // 9, 8, 0;
}

sub packet6 {
    my ($to, $from, $port) = @_;
    $from //= pack 'n8', 0xfd00, 9, 0, 0, 0, 0, 0, 9;
    my $sum = 0;
    # A pseudo-header first; over IPv6 the checksum is no choice (RFC 8200, section 8.1).
    $sum += $_ for unpack 'n*', $from . $to . pack 'Nn2', 8, 0, $UDP;
    my $ports = pack 'nn', 9, $port // 9;
    $sum += $_ for unpack('n*', $ports), 8;
    $sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
    return pack('NnCCa16a16', 0x60000000, 8, $UDP, 64, $from, $to) . $ports . pack 'nn', 8, ~$sum & 0xffff || 0xffff;
}

sub frame { my ($number, $link, $bypass, $marked) = @_; framed($link, $bypass, 0x0800, packet(v4($number)), $marked) }

sub frame6 {
    my ($number, $link, $bypass, $marked) = @_;
    framed($link, $bypass, 0x86dd, packet6(v6($number)), $marked);
}

# packet(7); 263 and 20 are SOL_PACKET and PACKET_QDISC_BYPASS.
sub framed {
    my ($link, $bypass, $type, $packet, $marked) = @_;
    my $index = index_of($link) or return;
    return if $link =~ /^wg/;
    socket my $socket, 17, 3, 0 or return;
    fcntl $socket, 4, 2048;
    setsockopt $socket, 263, 20, pack 'i', 1 or return if $bypass;
    marked($socket, $MARK) or return if $marked;
    my $frame = "\xff" x 6 . "\2\0\0\0\0\1" . pack('n', $type) . $packet;
    send $socket, $frame, 0, pack 'SnlSCCa8', 17, $type, $index, 0, 0, 6, "\xff" x 6;
}
