"""``apostille scan``: findings only, in files, folders and pipes; nothing is changed, and no store is needed.

``walk`` finds the files, ``look`` looks at one of them, ``places`` turns byte offsets into lines and columns, ``report`` and
``sarif`` print. What is listed is bounded; what is counted is not.
"""

from apostille.faces.cli.scan.command import scan

__all__ = ["scan"]
