/// The order of the tokens of all windows in memory: window after window, in slabs of whole windows.
///
/// A layer computes one slab at a time. The size of a slab does not change results.
struct WindowLayout: Equatable, Sendable {
  let windows: Int
  /// The number of tokens of a window in this layout.
  let length: Int
  /// The position of the first of them in the window.
  let firstPosition: Int
  let windowsPerSlab: Int

  var slabs: Int { (windows + windowsPerSlab - 1) / windowsPerSlab }
  var tokens: Int { windows * length }
  var slabTokens: Int { min(windowsPerSlab, windows) * length }

  func windows(inSlab slab: Int) -> Range<Int> {
    slab * windowsPerSlab..<min(windows, (slab + 1) * windowsPerSlab)
  }

  func tokens(inSlab slab: Int) -> Int { windows(inSlab: slab).count * length }

  /// Calls `body` for a slab, and replaces the row of the slab in its errors by window and position.
  ///
  /// In a list of gathered tokens, which has windows of length 1, the position is the index in the list.
  func locating<Result>(inSlab slab: Int, _ body: () throws -> Result) throws -> Result {
    do {
      return try body()
    } catch ForwardError.nonFinite(let tensor, window: nil, position: let row?) {
      guard length > 1 else {
        throw ForwardError.nonFinite(tensor: tensor, position: slab * windowsPerSlab + row)
      }
      throw ForwardError.nonFinite(
        tensor: tensor, window: slab * windowsPerSlab + row / length, position: firstPosition + row % length)
    }
  }

  /// The layout of some positions of the same windows.
  func keeping(_ positions: Range<Int>) -> WindowLayout {
    WindowLayout(
      windows: windows, length: positions.count, firstPosition: positions.lowerBound, windowsPerSlab: windowsPerSlab)
  }
}
