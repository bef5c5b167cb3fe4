"""Figure builders: values in, plotly figures out. No Streamlit here."""
