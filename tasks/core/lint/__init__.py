"""The rules of `doit check`: what will hurt later, found in the user's own files before it does.

A rule has an id, a severity, a reason (`catalogue`) and a function that finds its faults in a `Subject`: a stack as
Compose resolves it, with the line of everything in the files it was written in. Rules are pure; at most they look
whether a file is there.
"""
