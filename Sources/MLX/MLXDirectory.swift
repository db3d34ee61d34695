import Files
import Foundation

/// Checks of outputs before hours of work.
public enum MLXOutput {
  /// The path of a directory without slashes at its end, beside which its checksums are.
  public static func path(_ path: String) -> String { MLXDirectory.trimmed(path) }

  /// Throws where a directory can't be written under this path.
  public static func check(_ path: String, overwrite: Bool) throws {
    try MLXDirectory.check(MLXDirectory.trimmed(path), overwrite: overwrite)
  }
}

/// The directory of an output, which appears under its name when it is complete.
enum MLXDirectory {
  /// The directory in which an output grows.
  static func temporary(_ path: String) -> String { trimmed(path) + ".part" }

  static func trimmed(_ path: String) -> String {
    var path = path[...]
    while path.count > 1, path.hasSuffix("/") { path.removeLast() }
    return String(path)
  }

  private static func exists(_ path: String) -> (file: Bool, directory: Bool) {
    var isDirectory: ObjCBool = false
    let exists = FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory)
    return (exists && !isDirectory.boolValue, exists && isDirectory.boolValue)
  }

  /// Throws where a file has the name, or a directory that may not be replaced. Only one that holds nothing but a model is.
  static func check(_ path: String, overwrite: Bool) throws {
    let (isFile, isDirectory) = exists(path)
    if isFile { throw FileError(.create, path: path, code: ENOTDIR) }
    guard isDirectory else { return }
    guard overwrite else { throw FileError(.create, path: path, code: EEXIST) }
    let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    let isModel = names.contains("config.json") && names.contains { $0.hasSuffix(".safetensors") }
    let other = names.first { exists(path + "/" + $0).directory }
    guard names.isEmpty || isModel && other == nil else {
      throw FormatError(
        path: path, other.map { "holds the folder \($0)" } ?? "is a folder, but not of a model",
        hint: "only a folder of one model's files is replaced; name another output")
    }
  }

  static func create(_ path: String) throws {
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    } catch {
      guard exists(path).directory else { throw FileError(.create, path: path, code: errno == 0 ? EIO : errno) }
    }
  }

  /// Removes what earlier runs left in a temporary directory.
  static func empty(_ path: String, except kept: Set<String> = []) {
    for name in (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? [] where !kept.contains(name) {
      try? FileManager.default.removeItem(atPath: path + "/" + name)
    }
  }

  /// Gives a complete directory its name. A replaced one is removed afterwards.
  static func publish(_ temporary: String, as path: String) throws {
    let old = path + ".replaced"
    let replaces = exists(path).directory
    if replaces {
      try? FileManager.default.removeItem(atPath: old)
      guard rename(path, old) == 0 else { throw FileError(.rename, path: path, code: errno) }
    }
    guard rename(temporary, path) == 0 else {
      let code = errno
      if replaces { _ = rename(old, path) }
      throw FileError(.rename, path: path, code: code)
    }
    if replaces { try? FileManager.default.removeItem(atPath: old) }
    let folder = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    let descriptor = open(folder, O_RDONLY)
    if descriptor >= 0 {
      fsync(descriptor)
      close(descriptor)
    }
  }
}
