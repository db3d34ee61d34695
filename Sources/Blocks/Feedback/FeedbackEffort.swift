import Tensors

/// The extent of the search in encoding with error feedback.
public enum FeedbackEffort: Int, Sendable, CaseIterable, Comparable {
  /// Feedback alone, with the scales that the plain encoder finds for a super-block's fed-back target.
  case feedback = 1
  /// Scales are chosen by the error after feedback.
  case scales = 2
  /// As `scales`, then sweeps over all sub-blocks: each is rounded again given all others, and super-block scales are fitted
  /// again.
  case descent = 3

  public static func < (a: FeedbackEffort, b: FeedbackEffort) -> Bool { a.rawValue < b.rawValue }
}

extension GGMLType {
  /// Whether rows can be encoded with error feedback. Other types are encoded plainly.
  public var takesFeedback: Bool {
    switch self {
    case .q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .iq4_nl, .iq4_xs, .q2_K, .q3_K, .q4_K, .q5_K, .q6_K: true
    case .iq1_s, .iq1_m, .iq2_xxs, .iq2_xs, .iq2_s, .iq3_xxs, .iq3_s: true
    default: affine?.encoder == .search
    }
  }

  /// Columns that a metric must keep together so that rows can be encoded in this type: those of a group with one scale
  /// (`FeedbackMetric.groupColumns`).
  package var feedbackGroupColumns: Int { max(32, affine?.group ?? 32) }
}
