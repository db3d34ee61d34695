import Files
import GGUF
import Testing

/// Files of other formats that are named .gguf: the message names the format and the remedy.
@Suite struct ForeignFileTests {
  @Test(arguments: [
    ("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "a Git LFS pointer", "git lfs pull"),
    ("<!doctype html>\n<html>", "a web page", "download it again"),
    ("  \n<HTML><body>", "a web page", "download it again"),
    ("Entry not found", "a server's error message", "download it again"),
    ("{\"error\":\"Repository not found\"}", "a server's error message", "download it again"),
    (String(repeating: "\0", count: 64), "a file of zeros", "incomplete"),
    ("PK\u{3}\u{4}\u{14}\0\u{8}\u{8}", "a ZIP archive", "safetensors"),
    ("tjgg\u{3}\0\0\0", "a GGML file", "original model"),
    ("\u{40}\0\0\0\0\0\0\0{\"__metadata__\":{}}", "a safetensors file", "config.json"),
    ("{\"architectures\": []}", "a JSON file", "directory"),
  ])
  func isNamed(content: String, noun: String, hint: String) throws {
    let error = try #require(throws: FormatError.self) { try GGUFHeader(bytes: Array(content.utf8), path: "m.gguf") }
    #expect(error.description.hasPrefix("m.gguf: is \(noun)") && error.reason.hasSuffix("not a GGUF file"))
    #expect(error.hint?.contains(hint) == true)
  }

  @Test func pickles() {
    #expect(ForeignFile([0x80, 2, 0x8A, 10]) == .pickle)
    #expect(ForeignFile([0x80, 9, 0x8A, 10]) == nil)
  }

  @Test(arguments: ["", "GG", "hello, world", "\0\0"])
  func nothingElseIsGuessed(content: String) { #expect(ForeignFile(Array(content.utf8)) == nil) }

  @Test func unknownBytesAreNotGGUF() throws {
    let error = try #require(throws: FormatError.self) {
      try GGUFHeader(bytes: Array("hello, world".utf8), path: "m.gguf")
    }
    #expect(error.reason == "is not a GGUF file: it does not begin with the letters GGUF")
  }
}
