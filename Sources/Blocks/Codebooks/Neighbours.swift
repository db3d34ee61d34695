/// For every combination of levels, the nearest codewords; those of equal distance in the codebook's order. One of them is
/// nearly always the best codeword for weights that round to the combination.
struct Neighbours: @unchecked Sendable {
  let width: Int
  /// [keys][width]: packed levels.
  let words: UnsafePointer<UInt16>

  init(_ codebook: Codebook, width: Int) {
    self.width = width
    let keys = codebook.keys
    // A list of 32 words fills one cache line.
    let words = UnsafeMutableRawPointer.allocate(byteCount: keys * width * 2, alignment: 64)
      .bindMemory(to: UInt16.self, capacity: keys * width)
    self.words = UnsafePointer(words)
    // Keys and codewords are split into halves; this table has the squared distance of any two halves.
    let half = codebook.dims == 8 ? 81 : 64
    let base = codebook.dims == 8 ? 3 : 8
    let distanceOf = [UInt8](unsafeUninitializedCapacity: half * half) { buffer, count in
      for p in 0..<half {
        for q in 0..<half {
          var (a, b, sum) = (p, q, 0)
          while a > 0 || b > 0 {
            let difference = a % base - b % base
            sum += difference * difference
            a /= base
            b /= base
          }
          buffer[p * half + q] = UInt8(sum)
        }
      }
      count = half * half
    }
    let grid = (0..<codebook.count).map { index -> (Int, Int) in
      let key = codebook.key(of: codebook.packed[index])
      return (key % half, key / half)
    }
    var distances = [UInt8](repeating: 0, count: grid.count)
    var offsets = [Int](repeating: 0, count: 256)
    distanceOf.withUnsafeBufferPointer { distanceOf in
      grid.withUnsafeBufferPointer { grid in
        distances.withUnsafeMutableBufferPointer { distances in
          offsets.withUnsafeMutableBufferPointer { offsets in
            for key in 0..<keys {
              let (first, second) = (key % half * half, key / half * half)
              offsets.update(repeating: 0)
              for index in grid.indices {
                let distance = distanceOf[first + grid[index].0] &+ distanceOf[second + grid[index].1]
                distances[index] = distance
                offsets[Int(distance)] &+= 1
              }
              var (sum, farthest) = (0, 0)
              for distance in 0..<256 {
                let count = offsets[distance]
                offsets[distance] = sum
                if sum < width && count > 0 { farthest = distance }
                sum += count
              }
              for index in grid.indices where distances[index] <= UInt8(farthest) {
                let offset = offsets[Int(distances[index])]
                offsets[Int(distances[index])] &+= 1
                if offset < width { words[key * width + offset] = codebook.packed[index] }
              }
            }
          }
        }
      }
    }
  }

  static let iq1 = Neighbours(.iq1, width: 32)
  static let iq2_xxs = Neighbours(.iq2_xxs, width: 32)
  static let iq2_xs = Neighbours(.iq2_xs, width: 32)
  static let iq2_s = Neighbours(.iq2_s, width: 32)
  static let iq3_xxs = Neighbours(.iq3_xxs, width: 32)
  static let iq3_s = Neighbours(.iq3_s, width: 32)
}
