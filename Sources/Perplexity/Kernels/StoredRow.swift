import Files

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// One position of a file of llama-perplexity's: logits become 65,536 steps between the greatest and the least, or 16
/// below the greatest where that is more. x is overwritten.
func encodedRow(_ x: UnsafeMutablePointer<Float>, _ count: Int) -> [UInt8] {
  let peak = largest(x, count)
  let least = max(smallest(x, count), peak - 16)
  let scale = (peak - least) / 65535
  var stored = [UInt16](repeating: 0, count: (count + 1) / 2 * 2)
  if scale > 0 {
    let inverse = 1 / scale
    // Rounding half to even, as the reader's authors do.
    for i in 0..<count where x[i] > least { stored[i] = UInt16(((x[i] - least) * inverse).rounded(.toNearestOrEven)) }
  }
  let logSum = Float(log(exponentials(x, count, peak: peak, into: x)))
  var bytes: [UInt8] = []
  bytes.reserveCapacity(8 + 2 * stored.count)
  bytes.append(littleEndian: scale.bitPattern)
  bytes.append(littleEndian: (least - peak - logSum).bitPattern)
  for value in stored { bytes.append(littleEndian: value) }
  return bytes
}
