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

  /// The same windows with some of their positions only.
  func keeping(_ positions: Range<Int>) -> WindowLayout {
    WindowLayout(
      windows: windows, length: positions.count, firstPosition: positions.lowerBound, windowsPerSlab: windowsPerSlab)
  }
}
