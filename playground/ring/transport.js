/** The cheapest matching of two clouds of points: the transport plan of 03_wgan_gp/transport.py. */

/**
 * The Hungarian method with potentials: for each row of a square matrix of costs its column.
 * @param {number[][]} cost
 */
export function match(cost) {
  const n = cost.length;
  const [u, v, owner] = [new Float64Array(n + 1), new Float64Array(n + 1), new Int32Array(n + 1)]; // 1-based, 0 is nobody
  for (let row = 1; row <= n; row++) {
    owner[0] = row;
    let column = 0;
    const least = new Float64Array(n + 1).fill(Infinity);
    const [from, used] = [new Int32Array(n + 1), new Uint8Array(n + 1)];
    do { // grow a tree of tight pairs until it reaches a free column
      used[column] = 1;
      let [delta, nearest] = [Infinity, 0];
      for (let j = 1; j <= n; j++) {
        if (used[j]) continue;
        const slack = cost[owner[column] - 1][j - 1] - u[owner[column]] - v[j];
        if (slack < least[j]) [least[j], from[j]] = [slack, column];
        if (least[j] < delta) [delta, nearest] = [least[j], j];
      }
      for (let j = 0; j <= n; j++) {
        if (used[j]) {
          u[owner[j]] += delta;
          v[j] -= delta;
        } else least[j] -= delta;
      }
      column = nearest;
    } while (owner[column]);
    while (column) { // hand the columns on along the path
      owner[column] = owner[from[column]];
      column = from[column];
    }
  }
  const columns = new Array(n);
  for (let j = 1; j <= n; j++) columns[owner[j] - 1] = j - 1;
  return columns;
}

/** @param {number[][]} x @param {number[][]} y points */
export const distances = (x, y) => x.map((a) => y.map((b) => Math.hypot(a[0] - b[0], a[1] - b[1])));
