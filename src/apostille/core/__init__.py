"""The pure core: formats, commitments, trees and rules. No I/O, no clock, no randomness, no threads, no logging."""
