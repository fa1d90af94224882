from cli_kit import *

def test_x(home):
    r = home.run("verify", "answer.txt.receipt.json")
    assert r.code == 0, r
def test_y(home):
    r = home.run("verify")
    assert r.code == 0, r
def test_z(home):
    r = home.ok("--help")
