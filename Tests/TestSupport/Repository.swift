import Foundation

/// Paths of the checkout that tests read.
public enum Repository {
  public static let root = URL(filePath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
  public static let demoModel = root.appending(path: "Examples/demo-model").path
  public static let calibration = root.appending(path: "calibration").path
}
