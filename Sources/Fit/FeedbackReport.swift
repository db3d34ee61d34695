import Imatrix
import Quantize

/// The results of a run with error feedback.
public struct FeedbackReport: Sendable, Equatable {
  /// An input with fewer tokens than a quarter of its columns.
  public struct Short: Sendable, Equatable {
    public let tensor: String
    public let tokens: Int
    public let columns: Int
  }

  public var rewrite = RewriteReport()
  /// Number of tensors that the pass encoded.
  public var tensors = 0
  /// Inputs outside of experts with fewer tokens than a quarter of their columns.
  public var short: [Short] = []
  /// Number of inputs of experts with fewer tokens than a quarter of their columns.
  public var shortExperts = 0
  /// Number of matrices of experts without any token.
  public var unseenExperts = 0
  /// The importance of all matrices; nil if it was not wanted, or an earlier run had encoded every matrix.
  public var importance: ImportanceMatrix?
}
