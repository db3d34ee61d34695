import Files
import Foundation

/// Text for measuring importance: files and directories of .txt, .md and .jsonl, optionally compressed as .zst.
///
///     let text = try CalibrationText(paths: ["calibration", "chats.jsonl.zst"])
///     let windows = try text.windows(context: 512, bos: bos) { tokenizer.encode($0, addSpecial: false) }
public struct CalibrationText: Sendable {
  /// A file and its documents.
  public struct Source: Sendable {
    /// The base name.
    public let name: String
    /// The texts: one of a text file, one per line of a .jsonl file.
    public let documents: [String]
    /// Whether some documents are conversations.
    public let holdsConversations: Bool
    /// The number of byte sequences that are not UTF-8; each is read as U+FFFD.
    public let invalidSequences: Int
    /// Whether lines ended in CR LF or CR; they are read as LF.
    public let hadCarriageReturns: Bool
    /// Whether the file was found in a folder, and not named itself.
    public internal(set) var isFromFolder = false

    init(
      name: String, documents: [String], holdsConversations: Bool = false, invalidSequences: Int = 0,
      hadCarriageReturns: Bool = false
    ) {
      self.name = name
      self.documents = documents
      self.holdsConversations = holdsConversations
      self.invalidSequences = invalidSequences
      self.hadCarriageReturns = hadCarriageReturns
    }
  }

  /// The files, in the order given; those of a directory in the order of names.
  public internal(set) var sources: [Source]

  /// Base names of all files.
  public var names: [String] { sources.map(\.name) }

  /// Reads all files. In a directory, but not in its subdirectories, every file of a known kind except README is read.
  ///
  /// Line ends become LF. Bytes of plain text that are not UTF-8 become U+FFFD; those of JSON lines are refused.
  ///
  /// - Parameter chat: the format in which a conversation is written.
  /// - Throws: ``CalibrationError``, `TextError` or `FileError`
  public init(paths: [String], chat: ChatFormat = .plain) throws {
    var sources: [Source] = []
    for path in paths {
      var isDirectory: ObjCBool = false
      guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else {
        throw CalibrationError.missing(path)
      }
      guard isDirectory.boolValue else {
        sources.append(try Self.read(path, chat))
        continue
      }
      let names = try FileManager.default.contentsOfDirectory(atPath: path).sorted().filter(Self.reads)
      guard !names.isEmpty else { throw CalibrationError.emptyDirectory(path) }
      sources += try names.map { name in
        var source = try Self.read(path + "/" + name, chat)
        source.isFromFolder = true
        return source
      }
    }
    self.sources = sources
  }

  /// Whether a file of this name is read from a directory.
  public static func reads(_ name: String) -> Bool {
    kind(name) != nil && !name.hasPrefix("README.") && !name.hasPrefix(".")
  }

  private enum Kind { case text, lines }

  private static func kind(_ name: String) -> Kind? {
    var name = name.lowercased()
    if name.hasSuffix(".zst") { name.removeLast(4) }
    if name.hasSuffix(".jsonl") { return .lines }
    return name.hasSuffix(".txt") || name.hasSuffix(".md") ? .text : nil
  }

  private static func read(_ path: String, _ chat: ChatFormat) throws -> Source {
    let name = ImportanceMatrix.baseName(path)
    let file = try PositionedFile(path: path)
    var bytes = try file.bytes(in: 0..<file.size)
    if path.lowercased().hasSuffix(".zst") {
      guard let plain = Zstd.decompress(frames: bytes) else { throw CalibrationError.damaged(path) }
      bytes = plain
    }
    guard kind(name) == .lines else {
      let file = try TextFile(bytes: bytes, path: path, invalidBytes: .replaced)
      return Source(
        name: name, documents: [file.text], invalidSequences: file.invalidSequences,
        hadCarriageReturns: file.hadCarriageReturns)
    }
    var documents: [String] = []
    var holdsConversations = false
    let lines = try TextFile(bytes: bytes, path: path).text.utf8
    for (index, line) in lines.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
      guard line.contains(where: { $0 > UInt8(ascii: " ") }) else { continue }
      guard let object = try? JSONSerialization.jsonObject(with: Data(line)) as? [String: Any],
        let document = document(object, chat)
      else { throw CalibrationError.badLine(path, line: index + 1) }
      documents.append(document)
      if object["text"] as? String == nil { holdsConversations = true }
    }
    return Source(name: name, documents: documents, holdsConversations: holdsConversations)
  }

  private static func document(_ object: [String: Any], _ chat: ChatFormat) -> String? {
    if let text = object["text"] as? String { return text }
    guard let messages = object["messages"] as? [[String: Any]] else { return nil }
    var turns: [ChatFormat.Turn] = []
    for message in messages {
      guard let role = message["role"] as? String, let content = message["content"] as? String else { return nil }
      turns.append(.init(role: role, content: content))
    }
    return chat.text(turns)
  }
}

/// Calibration text that can't be read or used.
public enum CalibrationError: Error, Sendable, Equatable {
  /// A path that does not exist.
  case missing(String)
  /// A directory without files of a known kind.
  case emptyDirectory(String)
  /// A .zst file that does not decompress.
  case damaged(String)
  /// A line that is not a JSON object with `text` or `messages`.
  case badLine(String, line: Int)
  /// Fewer tokens than one window.
  case tooShort(tokens: Int, needed: Int)
  /// All windows are skipped.
  case nothingLeft(windows: Int, first: Int)
  /// A weight for a file that does not exist.
  case unknownSource(String, known: [String])
}

extension CalibrationError: CustomStringConvertible {
  /// One line that names the file, or the numbers at fault.
  public var description: String {
    switch self {
    case .missing(let path): "\(path): no such file or directory"
    case .emptyDirectory(let path): "\(path): has no .txt, .md or .jsonl file"
    case .damaged(let path): "\(path): is not a complete zstd file"
    case .badLine(let path, let line): "\(path): line \(line) is not a JSON object with 'text' or 'messages'"
    case .tooShort(let tokens, let needed):
      "the calibration text has \(tokens) tokens: \(needed - tokens) more are needed for one window of \(needed)"
    case .nothingLeft(let windows, let first):
      "window \(first) is beyond the calibration text, which has \(windows) windows"
    case .unknownSource(let name, let known):
      "no calibration file is named '\(name)'; the files are \(known.joined(separator: ", "))"
    }
  }
}
