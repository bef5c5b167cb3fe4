"""The Streamlit app: views call one cached function each and hand a figure to the page."""
