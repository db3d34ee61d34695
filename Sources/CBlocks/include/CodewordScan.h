// The search of a codebook in a full metric M. A codeword m with signs s costs a target x
//   (x - s m)' M (x - s m) = x'Mx + q - 2 (Mx)' (s m)    with q = (s m)' M (s m).
// q depends on the codeword and the signs alone, so that it is summed once for all rows; a scan adds the linear part, one
// product a coordinate. Codewords fill the lanes, 32 at a time.
#ifndef CODEWORD_SCAN_H
#define CODEWORD_SCAN_H

#include "CVectors.h"

#define CV static inline __attribute__((always_inline))

// Σ x[i] rows[i], where rows have eight numbers.
CV cv_f32x8 cv_times_rows(const float *x, const float *rows, long count) {
  cv_f32x8 sum = cv_splat(x[0]) * cv_load(rows);
  for (long i = 1; i < count; i++) sum = cv_fma(cv_splat(x[i]), cv_load(rows + 8 * i), sum);
  return sum;
}
// y -= Σ x[i] rows[i] for numbers `from` (a multiple of 8) to `to`; rows lie `stride` apart.
CV void cv_subtract_rows(float *y, const float *x, long count, const float *rows, long stride, long from, long to) {
  for (long k = from; k < to; k += 8) {
    cv_f32x8 sum = cv_load(y + k);
    for (long i = 0; i < count; i++) sum = cv_fma(cv_splat(-x[i]), cv_load(rows + i * stride + k), sum);
    cv_store(y + k, sum);
  }
}

// t = v + g inv(H) with inv(H) = U' inv(D) U, U unit upper triangular with `count` rows and columns. Returns g inv(H) g'.
CV float cv_solve(const float *g, const float *u, const float *d, long count, const float *v, float *t) {
  cv_f32x8 cost = cv_splat(0);
  float z[32];
  for (long i = 0; i < count; i++) {
    cv_f32x8 sum = cv_splat(0);
    for (long k = i & ~7; k < count; k += 8) sum = cv_fma(cv_load(g + k), cv_load(u + i * count + k), sum);
    z[i] = cv_sum(sum);
  }
  for (long k = 0; k < count; k += 8) {
    cv_f32x8 x = cv_load(z + k), y = x / cv_load(d + k);
    cost = cv_fma(x, y, cost);
    cv_store(z + k, y);
  }
  for (long k = 0; k < count; k += 8) {
    cv_f32x8 sum = cv_load(v + k);
    for (long i = 0; i < k + 8; i++) sum = cv_fma(cv_splat(z[i]), cv_load(u + i * count + k), sum);
    cv_store(t + k, sum);
  }
  return cv_sum(cost);
}

// The front half of one vector, the back half of another.
CV cv_f32x8 cv_front(cv_f32x8 a, cv_f32x8 b) { return __builtin_shufflevector(a, b, 0, 1, 2, 3, 12, 13, 14, 15); }

// The indices of the two lowest of eight numbers, the first among equals.
typedef struct {
  int32_t first, second;
} cv_two;
CV cv_two cv_two_lowest(cv_f32x8 v) {
  float x[8], low = __builtin_inff(), next = low;
  cv_two r = {0, 0};
  memcpy(x, &v, sizeof x);
#pragma clang loop unroll(full)
  for (int i = 0; i < 8; i++) {
    int lower = x[i] < low, lower2 = x[i] < next;
    next = lower ? low : lower2 ? x[i] : next;
    r.second = lower ? r.first : lower2 ? i : r.second;
    low = lower ? x[i] : low;
    r.first = lower ? i : r.first;
  }
  return r;
}

// A target and a codebook's values m. Codewords cost q + t Σ c m at a scale of 1 / t, under one sign pattern or under two:
// the second differs from the first in one coordinate or two, whose parts change by f m.
typedef struct {
  const float *m;  // [coordinate][count]
  long count;      // a multiple of 32
  const float *q0, *q1;  // [count]
  const float *c;
  long i, j;
  float fi, fj;
} cv_scan;

// A cost and the codeword's index, to which 2^16 is added under the second pattern.
typedef struct {
  float cost;
  int32_t code;
} cv_codeword;

CV cv_f32x8 cv_lesser_of(cv_f32x8 a, cv_f32x8 b) { return a < b ? a : b; }

#define SCAN_LANES 8
#define SCAN_NAME(name) cv_scan_##name##_8
#define SCAN_TARGET
#include "CodewordScanBody.h"
#undef SCAN_LANES
#undef SCAN_NAME
#undef SCAN_TARGET

#if defined(__x86_64__)
#define SCAN_LANES 16
#define SCAN_NAME(name) cv_scan_##name##_16
#define SCAN_TARGET __attribute__((target("avx512f")))
#include "CodewordScanBody.h"
#undef SCAN_LANES
#undef SCAN_NAME
#undef SCAN_TARGET
#define CV_WIDE __attribute__((target("avx512f"), noinline, unused)) static
#define CV_SCAN(name, dims, flips)                                                                                   \
  CV_WIDE void name##_all_16(const cv_scan *s, const float *t, long n, cv_codeword *found) {                        \
    cv_scan_scan_16(s, dims, flips, t, n, found);                                                                    \
  }                                                                                                                  \
  CV_WIDE int32_t name##_locate_16(const cv_scan *s, float t, cv_codeword found) {                                  \
    return cv_scan_locate_16(s, dims, flips, t, found);                                                              \
  }                                                                                                                  \
  CV_WIDE cv_codeword name##_16(const cv_scan *s, float t) { return cv_scan_one_16(s, dims, flips, t); }            \
  static inline void name##_all(const cv_scan *s, const float *t, long n, cv_codeword *found, int wide) {           \
    if (wide) name##_all_16(s, t, n, found);                                                                         \
    else cv_scan_scan_8(s, dims, flips, t, n, found);                                                                \
  }                                                                                                                  \
  static inline int32_t name##_locate(const cv_scan *s, float t, cv_codeword found, int wide) {                     \
    return wide ? name##_locate_16(s, t, found) : cv_scan_locate_8(s, dims, flips, t, found);                        \
  }                                                                                                                  \
  static inline cv_codeword name(const cv_scan *s, float t, int wide) {                                              \
    return wide ? name##_16(s, t) : cv_scan_one_8(s, dims, flips, t);                                                \
  }
#else
#define CV_SCAN(name, dims, flips)                                                                                   \
  static inline void name##_all(const cv_scan *s, const float *t, long n, cv_codeword *found, int wide) {           \
    cv_scan_scan_8(s, dims, flips, t, n, found);                                                                     \
  }                                                                                                                  \
  static inline int32_t name##_locate(const cv_scan *s, float t, cv_codeword found, int wide) {                     \
    return cv_scan_locate_8(s, dims, flips, t, found);                                                               \
  }                                                                                                                  \
  static inline cv_codeword name(const cv_scan *s, float t, int wide) {                                              \
    return cv_scan_one_8(s, dims, flips, t);                                                                         \
  }
#endif

// Coordinates: eight or four with signs, of which two or one change under the second pattern; eight and a constant, the
// shift of IQ1, which changes or is left out. Each as a scan at one scale; and as one at many, after which the codewords of
// some are located. `wide` is what cv_has_wide_tiles() returns.
CV_SCAN(cv_scan8_two, 8, 2)
CV_SCAN(cv_scan8_one, 8, 1)
CV_SCAN(cv_scan9, 9, 0)
CV_SCAN(cv_scan9_one, 9, 1)
CV_SCAN(cv_scan4_two, 4, 2)
CV_SCAN(cv_scan4_one, 4, 1)

// Squares g' M g of codewords g = s m, for all of them. M is symmetric, [dims][8].

// For eight or four coordinates; for four whose values are shifted where they have no signs.
CV cv_f32x8 cv_square(const float *m, long count, int dims, const float *metric, const float *signs, float shift, long e) {
  cv_f32x8 g[8], sum = cv_splat(0);
#pragma clang loop unroll(full)
  for (int i = 0; i < dims; i++) g[i] = (cv_load(m + i * count + e) + cv_splat(shift)) * cv_splat(signs[i]);
#pragma clang loop unroll(full)
  for (int i = 0; i < dims; i++) {
    cv_f32x8 part = cv_splat(metric[8 * i + i] * 0.5f) * g[i];
#pragma clang loop unroll(full)
    for (int j = i + 1; j < dims; j++) part = cv_fma(cv_splat(metric[8 * i + j]), g[j], part);
    sum = cv_fma(part, g[i] + g[i], sum);
  }
  return sum;
}
static inline void cv_squares8(
    const float *m, long count, const float *metric, const float *signs, float shift, float *out) {
  for (long e = 0; e < count; e += 8) cv_store(out + e, cv_square(m, count, 8, metric, signs, shift, e));
}
static inline void cv_squares4(const float *m, long count, const float *metric, const float *signs, float *out) {
  for (long e = 0; e < count; e += 8) cv_store(out + e, cv_square(m, count, 4, metric, signs, 0, e));
}
// Computes the amount that the second half of eight coordinates adds to the square for each of the first four: out[i] = 2 m_i Σ_j M_ij s_j m_j,
// [4][count].
static inline void cv_mixed_squares(const float *m, long count, const float *metric, const float *signs, float *out) {
  for (long e = 0; e < count; e += 8) {
    cv_f32x8 g[4];
#pragma clang loop unroll(full)
    for (int j = 0; j < 4; j++) g[j] = cv_load(m + (4 + j) * count + e) * cv_splat(2 * signs[j]);
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; i++) {
      cv_f32x8 sum = cv_splat(metric[8 * i + 4]) * g[0];
#pragma clang loop unroll(full)
      for (int j = 1; j < 4; j++) sum = cv_fma(cv_splat(metric[8 * i + 4 + j]), g[j], sum);
      cv_store(out + i * count + e, sum * cv_load(m + i * count + e));
    }
  }
}
// first + second + Σ s_i mixed[i].
static inline void cv_join_squares(
    const float *first, const float *second, const float *mixed, long count, const float *signs, float *out) {
  cv_f32x8 s0 = cv_splat(signs[0]), s1 = cv_splat(signs[1]), s2 = cv_splat(signs[2]), s3 = cv_splat(signs[3]);
  for (long e = 0; e < count; e += 8) {
    cv_f32x8 sum = cv_load(first + e) + cv_load(second + e);
    sum = cv_fma(s0, cv_load(mixed + e), sum);
    sum = cv_fma(s1, cv_load(mixed + count + e), sum);
    sum = cv_fma(s2, cv_load(mixed + 2 * count + e), sum);
    cv_store(out + e, cv_fma(s3, cv_load(mixed + 3 * count + e), sum));
  }
}

#undef CV
#endif
