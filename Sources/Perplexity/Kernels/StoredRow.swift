import Files

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Encodes one position for llama-perplexity's files: logits become 65,536 steps between the maximum and the larger of
/// the minimum and the maximum - 16. x is overwritten.
func encodedRow(_ x: UnsafeMutablePointer<Float>, _ count: Int) -> [UInt8] {
  let peak = largest(x, count)
  let minimum = max(smallest(x, count), peak - 16)
  let scale = (peak - minimum) / 65535
  var stored = [UInt16](repeating: 0, count: (count + 1) / 2 * 2)
  if scale > 0 {
    let inverse = 1 / scale
    // Rounds half to even, as in llama-perplexity.
    for i in 0..<count where x[i] > minimum {
      stored[i] = UInt16(((x[i] - minimum) * inverse).rounded(.toNearestOrEven))
    }
  }
  let logSum = Float(log(exponentials(x, count, peak: peak, into: x)))
  var bytes: [UInt8] = []
  bytes.reserveCapacity(8 + 2 * stored.count)
  bytes.append(littleEndian: scale.bitPattern)
  bytes.append(littleEndian: (minimum - peak - logSum).bitPattern)
  for value in stored { bytes.append(littleEndian: value) }
  return bytes
}
