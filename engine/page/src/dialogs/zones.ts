import { serverOffset, type Zone } from '../format';

/** The zones that can be chosen; the server's once it has told it. */
export function zones(): Zone[] {
  return serverOffset.value === undefined ? ['local', 'utc'] : ['local', 'utc', 'server'];
}
