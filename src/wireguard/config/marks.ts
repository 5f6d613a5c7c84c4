/** Between these lines are our peers; what is outside of them is somebody else's. */
export const peersBegin =
  '# wgdriver: peers from here on are made by `wgdriver endpoint-config`; changes in them get lost';
export const peersEnd = '# wgdriver: end of peers';
