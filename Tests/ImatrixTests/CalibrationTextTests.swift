import CZstd
import Files
import Foundation
import Imatrix
import Tensors
import Testing

@Suite struct CalibrationTextTests {
  /// A directory that is removed after the test.
  private final class Folder {
    let path = FileManager.default.temporaryDirectory.appending(path: "text-\(UUID().uuidString)").path
    init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(atPath: path) }

    @discardableResult func write(_ name: String, _ bytes: [UInt8]) throws -> String {
      try Data(bytes).write(to: URL(fileURLWithPath: path + "/" + name))
      return path + "/" + name
    }
    @discardableResult func write(_ name: String, _ text: String) throws -> String {
      try write(name, Array(text.utf8))
    }
  }

  private func compressed(_ text: String) -> [UInt8] {
    let source = Array(text.utf8)
    return [UInt8](unsafeUninitializedCapacity: ZSTD_compressBound(source.count)) { buffer, count in
      count = ZSTD_compress(buffer.baseAddress, buffer.count, source, source.count, 3)
    }
  }

  /// One token per byte.
  private func encode(_ text: String) -> [Int32] { text.utf8.map { Int32($0) } }

  @Test func everyKindOfFileIsRead() throws {
    let folder = try Folder()
    try folder.write("b.txt", "plain")
    try folder.write("a.md", "marked")
    try folder.write("README.md", "not this")
    try folder.write("c.csv", "nor this")
    try folder.write("d.jsonl", #"{"text":"one"}"# + "\n\n" + #"{"messages":[{"role":"user","content":"hi"}]}"#)
    try folder.write("e.txt.zst", compressed(String(repeating: "long ", count: 100_000)))
    let text = try CalibrationText(paths: [folder.path], chat: .chatML)
    #expect(text.names == ["a.md", "b.txt", "d.jsonl", "e.txt.zst"])
    #expect(text.sources[2].documents == ["one", "<|im_start|>user\nhi<|im_end|>\n"])
    #expect(text.sources[3].documents[0].utf8.count == 500_000)
    #expect(text.sources.map(\.holdsConversations) == [false, false, true, false])
  }

  @Test func textsOfOtherSystems() throws {
    let folder = try Folder()
    try folder.write("a.txt", [0xEF, 0xBB, 0xBF] + Array("one\r\ntwo\rthree".utf8))
    try folder.write("b.txt", Array("caf".utf8) + [0xE9, 0x20, 0xFF])
    try folder.write("c.jsonl", "\u{FEFF}{\"text\":\"a\\r\\nb\"}\r\n{\"text\":\"c\"}\r")
    try folder.write("d.txt.zst", compressed("\u{FEFF}x\r\ny"))
    let text = try CalibrationText(paths: [folder.path])
    // Escapes in JSON strings are decoded, and their characters are kept.
    #expect(
      text.sources.map(\.documents) == [["one\ntwo\nthree"], ["caf\u{FFFD} \u{FFFD}"], ["a\r\nb", "c"], ["x\ny"]])
    #expect(text.sources.map(\.hadCarriageReturns) == [true, false, false, true])
    #expect(text.sources.map(\.invalidSequences) == [0, 2, 0, 0])

    let utf16 = try folder.write("e.txt", [0xFF, 0xFE, 0x61, 0, 0x0A, 0])
    #expect(throws: TextError.self) { try CalibrationText(paths: [utf16]) }
    let windows = try folder.write("f.jsonl", Array("{\"text\":\"".utf8) + [0xE9] + Array("\"}".utf8))
    let error = #expect(throws: TextError.self) { try CalibrationText(paths: [windows]) }
    #expect(error?.offset == 9)
  }

  @Test func badInputIsNamed() throws {
    let folder = try Folder()
    #expect(throws: CalibrationError.missing(folder.path + "/x")) { try CalibrationText(paths: [folder.path + "/x"]) }
    #expect(throws: CalibrationError.emptyDirectory(folder.path)) { try CalibrationText(paths: [folder.path]) }
    let lines = try folder.write("a.jsonl", "{\"text\":\"one\"}\n{\"words\":1}\n")
    #expect(throws: CalibrationError.badLine(lines, line: 2)) { try CalibrationText(paths: [lines]) }
    let cut = try folder.write("a.txt.zst", Array(compressed("some text that is cut").dropLast(3)))
    #expect(throws: CalibrationError.damaged(cut)) { try CalibrationText(paths: [cut]) }
    let text = try CalibrationText(paths: [try folder.write("b.txt", "12345")])
    #expect(throws: CalibrationError.tooShort(tokens: 5, needed: 8)) {
      try text.windows(context: 8, bos: nil, encode: encode)
    }
    #expect(throws: CalibrationError.nothingLeft(windows: 2, first: 2)) {
      try text.windows(context: 2, bos: nil, first: 2, encode: encode)
    }
  }

  @Test func windowsAreInOrder() throws {
    let folder = try Folder()
    let text = try CalibrationText(paths: [try folder.write("a.txt", "abcdefghij"), try folder.write("b.txt", "klmno")])
    #expect(
      try text.windows(context: 4, bos: 1, encode: encode) == [
        [1, 97, 98, 99], [1, 101, 102, 103], [1, 105, 106, 107], [1, 109, 110, 111],
      ])
    #expect(try text.windows(context: 4, bos: nil, first: 1, limit: 1, encode: encode) == [[101, 102, 103, 104]])
  }

  @Test func aMixKeepsSharesAndDependsOnItsSeed() throws {
    let folder = try Folder()
    for name in ["a", "b"] {
      let lines = (0..<400).map { "{\"text\":\"\(name)\($0 % 10)\"}" }
      try folder.write("\(name).jsonl", lines.joined(separator: "\n"))
    }
    let text = try CalibrationText(paths: [folder.path])
    let mix = CalibrationMix(weights: ["a": 3, "b": 1], seed: 7)
    let windows = try text.windows(context: 200, bos: nil, mix: mix, limit: 1, encode: encode)
    let fromA = windows[0].filter { $0 == 97 }.count
    // 100 documents of two tokens. A share may be off by one document.
    #expect((74...76).contains(fromA))
    #expect(try text.windows(context: 200, bos: nil, mix: mix, limit: 1, encode: encode) == windows)
    let other = CalibrationMix(weights: ["a": 3, "b": 1], seed: 8)
    #expect(try text.windows(context: 200, bos: nil, mix: other, limit: 1, encode: encode) != windows)
    #expect(throws: CalibrationError.unknownSource("c", known: ["a.jsonl", "b.jsonl"])) {
      try text.windows(context: 2, bos: nil, mix: CalibrationMix(weights: ["c": 1]), encode: encode)
    }
  }

  /// A vocabulary of bytes: a Cyrillic letter has two tokens, a Greek letter with an ASCII letter beside it three for two.
  @Test func filesOfAFolderInUnknownScriptsAreRemoved() throws {
    let folder = try Folder()
    let greek = try folder.write("greek.txt", String(repeating: "αa", count: 50_000))
    let russian = try folder.write("russian.txt", String(repeating: "да", count: 10))
    try folder.write("latin.txt", "plain text")
    var text = try CalibrationText(paths: [folder.path])
    #expect(text.removeUnknownScripts(encode: encode) == ["russian.txt"])
    #expect(text.names == ["greek.txt", "latin.txt"])
    #expect(text.removeUnknownScripts(encode: encode) == [])

    var named = try CalibrationText(paths: [russian, folder.path])
    // The file of this name in the folder is removed, and the other is used.
    #expect(named.removeUnknownScripts(encode: encode) == [])
    #expect(named.names == ["russian.txt", "greek.txt", "latin.txt"])

    // No other text remains.
    try folder.write("empty.txt", "")
    try FileManager.default.removeItem(atPath: greek)
    try FileManager.default.removeItem(atPath: folder.path + "/latin.txt")
    var alone = try CalibrationText(paths: [folder.path])
    #expect(alone.removeUnknownScripts(encode: encode) == [] && alone.names == ["empty.txt", "russian.txt"])
  }

  @Test(arguments: [
    ("{% if x %}<|im_start|>{% endif %}", ChatFormat.chatML), ("..<|start_header_id|>..", .llama3),
    ("<｜User｜>", .deepSeek), ("[INST]", .instruct), ("{{ messages }}", .plain),
  ])
  func templatesAreRecognised(template: String, format: ChatFormat) {
    #expect(ChatFormat(template: template) == format)
  }
}
