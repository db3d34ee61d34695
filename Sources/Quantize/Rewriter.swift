import Files
import GGUF
import Tensors

/// Writes a model as a GGUF, in chunks of rows of one tensor after the other. A chunk is read, decoded and encoded on
/// all threads, and written at its final offset while the next chunk is processed. Rows that keep their type are
/// copied.
///
/// With an identity, a journal beside the output records the finished tensors. If a run is killed, interrupted or
/// stopped by a disk error, both files remain. The next run verifies the recorded tensors and continues.
/// ``RewriteGroup`` writes several files of one model in one reading.
public struct Rewriter: Sendable {
  private let plan: RewritePlan
  private let importance: Importance?

  /// - Parameter importance: nil to quantize without importance.
  public init(_ plan: RewritePlan, importance: Importance? = nil) {
    self.plan = plan
    self.importance = importance
  }

  /// Writes all files. They appear under their names when they are complete.
  ///
  /// - Parameters:
  ///   - path: the output; names of shards are derived from it.
  ///   - progress: is told of every chunk; its steps are tensors. A pause is possible after every tensor.
  ///   - first: encodes any tensors by other means; the remaining ones are encoded afterwards.
  /// - Throws: ``QuantizeError``, `FileError`, and what reading the source throws.
  public func write(
    to path: String, options: RewriteOptions, progress: any RunObserver = NoObserver(),
    first: (RewriteSession) throws -> Void = { _ in }
  ) throws -> RewriteReport {
    let member = RewriteGroup.Member(plan, path: path, options: options, importance: importance)
    return try RewriteGroup([member]).write(progress: progress) { try $0.compactMap(\.self).forEach(first) }[0]
  }
}
