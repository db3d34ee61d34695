// Scans of codewords with vectors of SCAN_LANES numbers: CodewordScan.h includes this once for eight and, where the machine
// may have them, once for sixteen. Every cost is computed by the same operations and blocks have the same 32 codewords, so
// that results are the same to the bit.

#define SCAN_VECTORS (32 / SCAN_LANES)
#define SCAN_FLOATS SCAN_NAME(floats)
#define SCAN_INTS SCAN_NAME(ints)
#define SCAN_INLINE static inline __attribute__((always_inline)) SCAN_TARGET

typedef float SCAN_FLOATS __attribute__((ext_vector_type(SCAN_LANES)));
typedef int32_t SCAN_INTS __attribute__((ext_vector_type(SCAN_LANES)));

SCAN_INLINE SCAN_FLOATS SCAN_NAME(load)(const float *p) {
  SCAN_FLOATS v;
  memcpy(&v, p, sizeof v);
  return v;
}
SCAN_INLINE SCAN_FLOATS SCAN_NAME(lesser)(SCAN_FLOATS a, SCAN_FLOATS b) { return a < b ? a : b; }

// Σ c m of 32 codewords from index e on: under the first pattern, then under the second.
SCAN_INLINE void SCAN_NAME(linear)(const cv_scan *s, int dims, int flips, long e, SCAN_FLOATS *sum) {
  SCAN_FLOATS c = (SCAN_FLOATS)s->c[0];
#pragma clang loop unroll(full)
  for (int v = 0; v < SCAN_VECTORS; v++) sum[v] = c * SCAN_NAME(load)(s->m + e + SCAN_LANES * v);
#pragma clang loop unroll(full)
  for (int i = 1; i < dims; i++) {
    const float *m = s->m + i * s->count + e;
    c = (SCAN_FLOATS)s->c[i];
#pragma clang loop unroll(full)
    for (int v = 0; v < SCAN_VECTORS; v++) {
      sum[v] = __builtin_elementwise_fma(c, SCAN_NAME(load)(m + SCAN_LANES * v), sum[v]);
    }
  }
  if (flips == 0) return;
  c = (SCAN_FLOATS)s->fi;
#pragma clang loop unroll(full)
  for (int v = 0; v < SCAN_VECTORS; v++) {
    sum[SCAN_VECTORS + v] =
        __builtin_elementwise_fma(c, SCAN_NAME(load)(s->m + s->i * s->count + e + SCAN_LANES * v), sum[v]);
  }
  if (flips == 1) return;
  c = (SCAN_FLOATS)s->fj;
#pragma clang loop unroll(full)
  for (int v = 0; v < SCAN_VECTORS; v++) {
    sum[SCAN_VECTORS + v] = __builtin_elementwise_fma(
        c, SCAN_NAME(load)(s->m + s->j * s->count + e + SCAN_LANES * v), sum[SCAN_VECTORS + v]);
  }
}
// The squares of 32 codewords.
SCAN_INLINE void SCAN_NAME(squares)(const cv_scan *s, int flips, long e, SCAN_FLOATS *q) {
#pragma clang loop unroll(full)
  for (int v = 0; v < SCAN_VECTORS; v++) q[v] = SCAN_NAME(load)(s->q0 + e + SCAN_LANES * v);
  if (flips == 0) return;
#pragma clang loop unroll(full)
  for (int v = 0; v < SCAN_VECTORS; v++) q[SCAN_VECTORS + v] = SCAN_NAME(load)(s->q1 + e + SCAN_LANES * v);
}
// The lowest of a block's costs, lane by lane.
SCAN_INLINE SCAN_FLOATS SCAN_NAME(lowest)(const SCAN_FLOATS *sum, const SCAN_FLOATS *q, int flips, SCAN_FLOATS t) {
  SCAN_FLOATS low = __builtin_elementwise_fma(t, sum[0], q[0]);
#pragma clang loop unroll(full)
  for (int v = 1; v < (flips > 0 ? 2 : 1) * SCAN_VECTORS; v++) {
    low = SCAN_NAME(lesser)(__builtin_elementwise_fma(t, sum[v], q[v]), low);
  }
  return low;
}
// The lowest cost and the first block in which it occurs.
SCAN_INLINE cv_codeword SCAN_NAME(reduce)(SCAN_FLOATS low, SCAN_INTS at) {
#if SCAN_LANES == 16
  cv_f32x8 half = cv_lesser_of(low.lo, low.hi);
#else
  cv_f32x8 half = low;
#endif
  cv_f32x4 y = half.lo < half.hi ? half.lo : half.hi;
  float y0 = y.x < y.z ? y.x : y.z, y1 = y.y < y.w ? y.y : y.w;
  float least = y0 < y1 ? y0 : y1;
  SCAN_INTS where = low == (SCAN_FLOATS)least ? at : (SCAN_INTS)INT32_MAX;
  int32_t block = __builtin_reduce_min(where);
  return (cv_codeword){least, block == INT32_MAX ? 0 : block};
}
// The lowest cost at each of n scales 1 / t, n at most 16, and the block of 32 codewords in which it occurs first.
SCAN_INLINE void SCAN_NAME(scan)(const cv_scan *s, int dims, int flips, const float *t, long n, cv_codeword *found) {
  SCAN_FLOATS low[16], sum[2 * SCAN_VECTORS], q[2 * SCAN_VECTORS];
  SCAN_INTS at[16];
  for (long k = 0; k < n; k++) low[k] = (SCAN_FLOATS)__builtin_inff(), at[k] = (SCAN_INTS)0;
  for (long e = 0; e < s->count; e += 32) {
    SCAN_NAME(linear)(s, dims, flips, e, sum);
    SCAN_NAME(squares)(s, flips, e, q);
    for (long k = 0; k < n; k++) {
      SCAN_FLOATS m = SCAN_NAME(lowest)(sum, q, flips, (SCAN_FLOATS)t[k]);
#if SCAN_LANES == 16
      at[k] = m < low[k] ? (SCAN_INTS)(int32_t)e : at[k];
#else
      // Offsets rise, so that the largest is the last that lowered the minimum.
      SCAN_INTS lower = (m < low[k]) & (SCAN_INTS)(int32_t)e;
      at[k] = at[k] > lower ? at[k] : lower;
#endif
      low[k] = SCAN_NAME(lesser)(m, low[k]);
    }
  }
  for (long k = 0; k < n; k++) found[k] = SCAN_NAME(reduce)(low[k], at[k]);
}
// The codeword of a block that has the given cost, the first among equals; 2^16 is added under the second pattern.
SCAN_INLINE int32_t SCAN_NAME(locate)(const cv_scan *s, int dims, int flips, float t, cv_codeword found) {
  SCAN_FLOATS sum[2 * SCAN_VECTORS], q[2 * SCAN_VECTORS];
  SCAN_NAME(linear)(s, dims, flips, found.code, sum);
  SCAN_NAME(squares)(s, flips, found.code, q);
  SCAN_INTS code = (SCAN_INTS)INT32_MAX, lane;
  for (int k = 0; k < SCAN_LANES; k++) lane[k] = k;
#pragma clang loop unroll(full)
  for (int v = (flips > 0 ? 2 : 1) * SCAN_VECTORS - 1; v >= 0; v--) {
    SCAN_INTS codes = lane + (SCAN_LANES * (v % SCAN_VECTORS) + (v >= SCAN_VECTORS ? 1 << 16 : 0));
    SCAN_FLOATS cost = __builtin_elementwise_fma((SCAN_FLOATS)t, sum[v], q[v]);
    code = cost == (SCAN_FLOATS)found.cost ? codes : code;
  }
  int32_t least = __builtin_reduce_min(code);
  return (least == INT32_MAX ? 0 : least) + found.code;
}
SCAN_INLINE cv_codeword SCAN_NAME(one)(const cv_scan *s, int dims, int flips, float t) {
  cv_codeword found;
  SCAN_NAME(scan)(s, dims, flips, &t, 1, &found);
  found.code = SCAN_NAME(locate)(s, dims, flips, t, found);
  return found;
}

#undef SCAN_VECTORS
#undef SCAN_FLOATS
#undef SCAN_INTS
#undef SCAN_INLINE
