/// How the tokens of all windows lie in memory: window after window, in slabs of whole windows.
///
/// A slab is what is in work at once. Its size does not change results.
struct WindowLayout: Equatable, Sendable {
  let windows: Int
  /// Tokens in a window that take part.
  let length: Int
  /// The position of the first of them in its window.
  let firstPosition: Int
  let windowsPerSlab: Int

  var slabs: Int { (windows + windowsPerSlab - 1) / windowsPerSlab }
  var tokens: Int { windows * length }
  var slabTokens: Int { min(windowsPerSlab, windows) * length }

  func windows(inSlab slab: Int) -> Range<Int> {
    slab * windowsPerSlab..<min(windows, (slab + 1) * windowsPerSlab)
  }

  func tokens(inSlab slab: Int) -> Int { windows(inSlab: slab).count * length }

  /// Works on the rows of a slab: an error that knows a row of it comes out with window and position.
  ///
  /// Where tokens are gathered from many windows (one a "window"), the place is that in the list.
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

  /// The same windows with some of their positions only.
  func keeping(_ positions: Range<Int>) -> WindowLayout {
    WindowLayout(
      windows: windows, length: positions.count, firstPosition: positions.lowerBound, windowsPerSlab: windowsPerSlab)
  }
}
